"""Reserved names of top-level packages: the standard library and common packages.

Where two folders of the module path have a package of one name, Python finds only one of them. If it finds the stubs,
whatever else needs the name breaks, the runtime included; if it does not, the stubs cannot be imported.

The lists are written out, so that the same IDL gives the same names with every version of Python, in every environment.
"""

from __future__ import annotations

from idlc.codegen.python.names import words

__all__ = ["reserved_by"]

# All public names of `sys.stdlib_module_names` of Python 3.10 to 3.14, and `test`.
_STANDARD_LIBRARY = words(
    """
    __future__ __main__ abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit
    audioop base64 bdb binascii binhex bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code
    codecs codeop collections colorsys compileall compression concurrent configparser contextlib contextvars
    copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest email
    encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc
    genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib
    imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma
    mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib
    nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes
    pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc
    pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select
    selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3
    sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess sunau symtable
    sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios test textwrap this threading time timeit
    tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata
    unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc
    zipapp zipfile zipimport zlib zoneinfo
    """
)
# What the runtime and the compiler need, and what is in most environments or comes with other Thrift libraries.
_PACKAGES = words(
    """
    anyio attr black blackd blib2to3 certifi click dns h11 httpcore httpx hypothesis idlc idlrt idna jinja2 kazoo
    lark markupsafe msgspec packaging pathspec pip pkg_resources platformdirs setuptools sortedcontainers thrift
    thriftpy thriftpy2 typing_extensions
    """
)


def reserved_by(name: str) -> str:
    """Describe the module or package that has the name; empty if the name is free."""
    if name in _STANDARD_LIBRARY:
        return "a module of Python's standard library"
    return f"the package `{name}` from PyPI" if name in _PACKAGES else ""
