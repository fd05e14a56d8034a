"""Links of pages where the files around them are not: on a package index, and on the site."""

from links import home, link_to_home, rewrite
from pages import PAGES, ROOT

HOME = "https://example.com/project"
PAGE = ROOT / "docs/how-to/a.md"

TEXT = """\
[a](../../LICENSE), [b](functions.md#options), ![c](../explanation/barge-in.svg)
[d](https://example.com/x), [e](#here), [f](../../src/twilio_realtime_core)
```python
x[0](1)
```
"""


def test_without_a_home_a_link_is_its_text() -> None:
    assert rewrite(TEXT, PAGE, lambda path: link_to_home(path, "")) == (
        "a, b, c\n[d](https://example.com/x), [e](#here), f\n```python\nx[0](1)\n```\n"
    )


def test_with_a_home_a_link_leads_there() -> None:
    assert rewrite(TEXT, PAGE, lambda path: link_to_home(path, HOME)) == (
        f"[a]({HOME}/blob/main/LICENSE), "
        f"[b]({HOME}/blob/main/docs/how-to/functions.md#options), "
        f"![c]({HOME}/raw/main/docs/explanation/barge-in.svg)\n"
        "[d](https://example.com/x), [e](#here), "
        f"[f]({HOME}/tree/main/src/twilio_realtime_core)\n```python\nx[0](1)\n```\n"
    )


def test_the_home_is_empty_or_an_address() -> None:
    assert home() == "" or home().startswith("https://")


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    pages = [str(page.relative_to(ROOT)) for page in PAGES if page.parent != ROOT]
    assert [page for page in pages if f"]({page})" not in readme] == []
