"""Writes the import tables into docs/architecture.md: python -m tests.import_table."""

from tests.test_architecture import FLOORS, LEAVES, ROOMS, ROOT, STAGES

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- import table -->\n", "<!-- end of import table -->"


def render() -> str:
    """Markdown of both tables: rooms, then the floors of folders within rooms."""
    lines = ["", "| room | | imports rooms | imports packages |", "|---|---|---|---|"]
    for name, room in ROOMS.items():
        group = "leaf" if name in LEAVES else "stage" if name in STAGES else "composed"
        lines.append(f"| `{name}` | {group} | {_join(room.rooms)} | {_join(room.packages)} |")
    lines += [
        "",
        "Folders and top-level modules within a room, from the bottom up; each imports only",
    ]
    lines += ["from floors below its own:", "", "| room | floors |", "|---|---|"]
    for name, floors in FLOORS.items():
        lines.append(f"| `{name}` | {' → '.join(_join(floor) for floor in floors)} |")
    return "\n".join([*lines, "", ""])


def _join(names: set[str]) -> str:
    return " ".join(f"`{name}`" for name in sorted(names)) or "–"


def insert(page: str) -> str:
    """The page with the tables between its two marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + render() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(insert(PAGE.read_text()))
