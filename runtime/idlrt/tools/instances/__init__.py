"""Admin ports of instances, for commands that read several of them.

- `admin_url`: their URLs; `targets`: which instances; `page_reader`: requests of their pages.
"""

from idlrt.tools.instances.admin_url import AdminUrl, is_admin_url
from idlrt.tools.instances.page_reader import MAX_PAGE, PageReader, PageUnavailable
from idlrt.tools.instances.targets import Target, Targets

__all__ = ["MAX_PAGE", "AdminUrl", "PageReader", "PageUnavailable", "Target", "Targets", "is_admin_url"]
