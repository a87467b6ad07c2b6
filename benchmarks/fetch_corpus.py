"""Fetches a corpus of a dozen languages from package registries, by package names.

    python benchmarks/fetch_corpus.py OUTPUT

Debian packages are unpacked by dpkg-deb; wheels, sdists and npm packages stay the archives they
are, for `data` opens those itself. Needs apt-get (after `apt-get update`), pip and npm; 2 GB free.
Packages that a registry no longer has are reported and skipped; `build_corpus.py` builds the rest.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

from codex_jax.progress import bar

DEBIAN = {
    "Python": "python3-sympy python3-twisted python3-sqlalchemy mercurial-common",
    "Go": "golang-golang-x-tools-dev golang-github-aws-aws-sdk-go-dev "
    "golang-golang-x-net-dev golang-google-grpc-dev",
    "Rust": "librust-tokio-dev librust-serde-derive-dev librust-syn-dev librust-regex-dev "
    "librust-clap-dev librust-nix-dev librust-image-dev",
    "Ruby": "ruby-activerecord ruby-actionpack ruby-activesupport puppet-agent "
    "ruby-fog-aws asciidoctor vagrant ruby-prawn",
    "PHP": "php-symfony-http-kernel php-symfony-form php-doctrine-orm phpunit php-twig phpmyadmin "
    "php-laravel-framework composer roundcube-core php-phpseclib3 mediawiki",
    "Perl": "perl-modules-5.36 libmoose-perl libdatetime-perl libmojolicious-perl "
    "libcatalyst-perl libdbix-class-perl libperl-critic-perl spamassassin",
    "Java": "openjdk-17-source",
    "C": "linux-source-6.1 libglib2.0-dev libgtk-3-dev libpython3.11-dev",
    "C++": "libboost1.74-dev libeigen3-dev libcgal-dev libopencv-core-dev nlohmann-json3-dev",
    "Shell": "bash-completion git debhelper dracut-core zsh-common lintian initramfs-tools-core "
    "autopkgtest schroot byobu bats testssl.sh grml-debootstrap fai-server",
}
PYPI_WHEELS = "django sympy scipy pandas matplotlib scikit-learn sqlalchemy networkx ansible-core"
PYPI_SDISTS = "pythonnet"
NPM = (
    "typescript rxjs lodash three react-dom @angular/core @angular/compiler vue zod ts-morph d3 "
    "@types/node @types/react date-fns ramda mathjs jquery @babel/core webpack eslint prettier "
    "fp-ts effect typeorm antd @mui/material monaco-editor plotly.js-dist "
    "jillejr.newtonsoft.json-for-unity"
)


def main() -> None:
    """Fetches every package that isn't there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path)
    output = parser.parse_args().output
    packages = [name for names in DEBIAN.values() for name in names.split()]
    downloads = [(fetch_debian, name) for name in packages]
    downloads += [(fetch_wheel, name) for name in PYPI_WHEELS.split()]
    downloads += [(fetch_sdist, name) for name in PYPI_SDISTS.split()]
    downloads += [(fetch_npm, name) for name in NPM.split()]
    for download, name in bar(downloads, desc="fetch", unit="package"):
        folder = output / download.__name__.removeprefix("fetch_") / name.replace("/", "-")
        if folder.exists():
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = pathlib.Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
        if download(name, partial):
            partial.replace(folder)
        else:
            shutil.rmtree(partial)


def _run(command: str, folder: pathlib.Path) -> bool:
    done = subprocess.run(command.split(), cwd=folder, capture_output=True, check=False, text=True)
    if done.returncode:
        print(f"{command}: {(done.stderr.strip() or 'failed').splitlines()[-1]}", file=sys.stderr)
    return done.returncode == 0


def fetch_debian(name: str, folder: pathlib.Path) -> bool:
    """Unpacks one binary package."""
    if not _run(f"apt-get download {name}", folder):
        return False
    for package in sorted(folder.glob("*.deb")):
        if not _run(f"dpkg-deb -x {package.name} .", folder):
            return False
        package.unlink()
    return True


def fetch_wheel(name: str, folder: pathlib.Path) -> bool:
    """Downloads one wheel."""
    pip = f"{sys.executable} -m pip download -q --no-deps"
    return _run(f"{pip} --only-binary :all: {name}", folder)


def fetch_sdist(name: str, folder: pathlib.Path) -> bool:
    """Downloads one source distribution."""
    pip = f"{sys.executable} -m pip download -q --no-deps"
    return _run(f"{pip} --no-binary {name} {name}", folder)


def fetch_npm(name: str, folder: pathlib.Path) -> bool:
    """Downloads one npm package."""
    return _run(f"npm pack --silent {name}", folder)


if __name__ == "__main__":
    main()
