"""The templates of the HTML pages, with the filters that they use."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from smallcaps_assets.reports import human


def template(name: str) -> Template:
    """A page's template; a variable that is not given is an error."""
    return _environment().get_template(name)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("smallcaps_assets.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=human.count, size=human.size, duration=human.duration, percent=human.percent
    )
    return environment
