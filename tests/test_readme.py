"""What the README and the docs say must be there: links, the example rule, the example configuration."""

import re
from pathlib import Path

import pytest

from monitor.attribute.catalogue import Catalogue
from monitor.config import load_config
from monitor.judge.rule_set import load_rules

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def _block(first_words: str) -> str:
    for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL):
        if block.startswith(first_words):
            return str(block)
    raise AssertionError(f"the README has no block that starts with {first_words!r}")


def test_the_example_rule_is_right(tmp_path: Path) -> None:
    path = tmp_path / "rule.yml"
    path.write_text(_block("id: "), encoding="utf-8")
    providers = Catalogue.load().provider_ids()
    rules = load_rules([path], sanctioned=[], providers=providers, workloads=[])
    assert rules.broken == []
    assert [rule.id for rule in rules.rules] == ["upload-to-a-pastebin"]


def test_the_example_configuration_is_right(tmp_path: Path) -> None:
    path = tmp_path / "egress.yml"
    path.write_text(_block("interfaces: "), encoding="utf-8")
    config = load_config(path)
    config.check_providers(set(Catalogue.load().provider_ids()))
    assert config.published == {"web": [443]}
