"""The browser that runs the pages, and that errors of a page fail a test."""

from playwright.sync_api import Page


def test_a_script_runs_in_a_page(page: Page) -> None:
    page.set_content("<p id=p></p><script>p.textContent = 'Hello'</script>")
    assert page.text_content("#p") == "Hello"


def test_an_error_of_a_script_is_a_problem(page: Page, problems: list[str]) -> None:
    page.set_content("<script>missing()</script>")
    assert problems == ["missing is not defined"]
    problems.clear()


def test_what_the_policy_refuses_is_a_problem(page: Page, problems: list[str]) -> None:
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    page.set_content(f"{policy}<p id=p></p><script>p.textContent = 'Hello'</script>")
    assert page.text_content("#p") == ""
    assert "Content Security Policy" in problems.pop()
