/**
 * A file with much to say:
 *
 *   - "quotes" and 'quotes',
 *   - backslashes like C:\new and \N{BULLET},
 *   - """three of them""",
 *	- a tab, ünïcödé and 世界.
 */
namespace py acme.docs

/** Ends in a "quote" */
enum Said {
  /** "Starts" with one */
  FIRST = 1,
  SECOND = 2, ///< Behind.
  /** Ends in a backslash \ */
  THIRD = 3,
}

/// One line.
/// Another.
struct Documented {
  /** A field. */
  1: i32 plain,
  2: i32 silent,
  /**
   * Several
   * lines.
   */
  3: i32 several (deprecated = "say \"plain\""),
} (deprecated = "use Said")

/** A union. */
union Either { /** Left. */ 1: i32 left, /** Right. */ 2: i32 right }

/** An exception. */
exception Sorry { /** Why. */ 1: string why } (deprecated)

/** A typedef. */
typedef i32 Number

/** A constant. */
const Number ONE = 1
const Number TWO = 2

/** A service. */
service Speaker {
  /**
   * Say it.
   *
   * With details.
   */
  string say(
    /** What to say. */ 1: string what,
    2: Documented how,
    /** How often,
     *  at most. */ 3: i32 times = 1
  ) throws (/** When it cannot. */ 1: Sorry sorry) (deprecated = "do not"),
  /** Nothing comes back. */
  oneway void shout(1: string what),
} (deprecated = "use Whisperer")

service Whisperer extends Speaker { void whisper() }
