"""Web kit: templates, tables, plots, URL state, security headers and sign-in for all HTML pages of this project.

Pages are rendered on the server and work without JavaScript, except plots. The script of the kit keeps live pages up to
date: it requests the page again, and replaces its live parts. Nothing is loaded from other hosts.
"""

from idlrt.web.assets import ASSETS_PATH, asset_page
from idlrt.web.plots import Plot, PlotSeries
from idlrt.web.security import PAGE_HEADERS, is_cross_origin
from idlrt.web.sign_in import SignIn
from idlrt.web.site import NavItem, Site
from idlrt.web.tables import Badge, Column, Link, Table
from idlrt.web.time_plots import HeatMap, Line, Mark, TimePlot
from idlrt.web.view_state import Parameter, ViewState

__all__ = [
    "ASSETS_PATH",
    "PAGE_HEADERS",
    "Badge",
    "Column",
    "HeatMap",
    "Line",
    "Link",
    "Mark",
    "NavItem",
    "Parameter",
    "Plot",
    "PlotSeries",
    "SignIn",
    "Site",
    "Table",
    "TimePlot",
    "ViewState",
    "asset_page",
    "is_cross_origin",
]
