"""Downloads the newest sdist of each listed package, without building or running any.

    python benchmarks/fetch_packages.py benchmarks/curate_packages.txt /var/tmp/sdists

`pip download` would run each package's build to learn its metadata; pip's own index client finds
the file alone. A package without an sdist is named and left out.
"""

import argparse
import pathlib
import tempfile
import urllib.parse

from pip._internal.commands import create_command
from pip._internal.models.target_python import TargetPython
from pip._internal.network.download import Downloader


def fetch(names: list[str], folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = create_command("download")
    options, _ = command.parse_args(["--no-binary=:all:", "--no-deps", "--quiet", *names])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session, TargetPython())
        download = Downloader(session, "off")
        for name in names:
            candidate = finder.find_best_candidate(name).best_candidate
            if candidate is None:
                print(f"{name}: no sdist")
                continue
            file = urllib.parse.unquote(candidate.link.filename)
            if not (folder / file).exists():
                with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as partial:
                    pathlib.Path(download(candidate.link, partial)[0]).replace(folder / file)
            print(f"{name}: {file}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", type=pathlib.Path, help="file with a name on each line")
    parser.add_argument("folder", type=pathlib.Path, help="where the files go")
    options = parser.parse_args()
    lines = (line.partition("#")[0].strip() for line in options.packages.read_text().splitlines())
    fetch([line for line in lines if line], options.folder)


if __name__ == "__main__":
    main()
