"""The parts of the package's metadata that depend on the address of the project's home."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).parent


class HomeMetadataHook(MetadataHookInterface):
    """Give the package its README, whose links work on a package index, and its addresses."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`, and `urls` if the home has an address."""
        links = runpy.run_path(str(ROOT / "docs/tools/links.py"))
        home: str = links["home"]()

        def target(path: Path) -> str | None:
            address: str | None = links["link_to_home"](path, home)
            return address

        readme = ROOT / "README.md"
        text: str = links["rewrite"](readme.read_text("utf-8"), readme, target)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        if home:
            metadata["urls"] = {
                "Homepage": home,
                "Changelog": f"{home}/blob/main/CHANGELOG.md",
                "Issues": f"{home}/issues",
            }
