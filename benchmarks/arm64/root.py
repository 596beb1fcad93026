"""An aarch64 root in a folder: Debian's Python and C libraries, and the aarch64 wheels that a device installs.

Nothing of the machine is changed: apt works on lists and a cache of its own, and needs no root. Wheels are those of
constraints.txt. Debian's packages are what `SUITE` has on the day, and listed with their versions in root.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tomllib

TREE = Path(__file__).parents[2]
SUITE, PYTHON = "bookworm", "3.11"  # Raspberry Pi OS's, too
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEBIAN = (f"python{PYTHON}", "libgomp1", "libstdc++6")
CPU = "cortex-a76"  # of a Raspberry Pi 5: NEON with the dot product of int8
GLIBC = 36  # 2.36; wheels for it and for older ones
QEMU = ("qemu-aarch64-static", "qemu-aarch64")
# Without it programs read that of the machine below, where onnxruntime 1.32 finds no ARM core and crashes at import
CPUINFO = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""


def qemu() -> str | None:
    """The emulator of one program, where it is installed."""
    return next(filter(None, map(shutil.which, QEMU)), None)


def missing() -> str:
    """Why nothing can be emulated here; empty where it can."""
    if qemu() is None:
        return f"no {QEMU[0]}: apt-get install qemu-user-static"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None or not Path(KEYRING).exists():
        return "no apt-get with Debian's keys, which bring the arm64 packages"
    return ""


def cached_root(cache: Path, say: Callable[[str], None]) -> Path:
    """A root in `cache`, built where there is none of these packages yet; its `python` runs anything in it."""
    wanted = requirements()
    pins = (TREE / "constraints.txt").read_text()
    key = hashlib.sha256("\n".join([Path(__file__).read_text(), pins, *wanted]).encode()).hexdigest()[:12]
    root = cache / f"{SUITE}-{key}"
    if not (root / "root.json").exists():
        say(f"building {root}")
        cache.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=cache, prefix="part-") as part:
            made = Path(part, "root")
            debian = unpack_debian(Path(part), made)
            wheels = install_wheels(made, wanted)
            write_machine(made)
            told = {"suite": SUITE, "mirror": MIRROR, "cpu": CPU, "debian": debian, "wheels": wheels}
            (made / "root.json").write_text(json.dumps(told, indent=1) + "\n")
            shutil.rmtree(root, ignore_errors=True)
            made.rename(root)
        say(f"built in {time.perf_counter() - began:.0f} s")
    return root


def requirements() -> list[str]:
    """Of a device with a camera: what edgekit needs, and its extras `cpu` and `camera`."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["cpu"], *extras["camera"]]


def unpack_debian(part: Path, root: Path) -> dict[str, str]:
    """Debian's packages and all they need, unpacked into `root`; their versions."""
    archives = part / "archives"
    for folder in (part / "lists" / "partial", archives / "partial", root):
        folder.mkdir(parents=True)
    (part / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures::": "arm64", "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "", "Acquire::Languages": "none", "Acquire::Retries": "3",
        "Dir::State::Lists": part / "lists", "Dir::State::status": "/dev/null", "Dir::Cache": part,
        "Dir::Cache::archives": archives, "Dir::Etc::SourceList": part / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null", "Debug::NoLocking": "true",
    }  # fmt: skip
    (part / "apt.conf").write_text(
        "#clear APT::Architectures;\n" + "".join(f'{k} "{v}";\n' for k, v in settings.items())
    )
    clean = {**os.environ, "APT_CONFIG": str(part / "apt.conf")}
    call("apt-get", "--quiet", "update", env=clean)
    call("apt-get", "--quiet", "--yes", "--download-only", "install", *DEBIAN, env=clean)
    versions = {}
    for package in sorted(archives.glob("*.deb")):
        call("dpkg-deb", "--extract", package, root)
        name, version, _ = package.stem.split("_")
        versions[name] = version.replace("%3a", ":")
    return versions


def install_wheels(root: Path, wanted: list[str]) -> list[str]:
    """Wheels for aarch64 where Debian's Python looks for them; no code of theirs runs."""
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(GLIBC, 16, -1)] + ["manylinux2014_aarch64"]
    target = root / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages"
    words = ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp"]
    for name in platforms:
        words += ["--platform", name]
    quiet = ("--quiet", "--disable-pip-version-check", "--root-user-action", "ignore")
    pins = ("-c", TREE / "constraints.txt")
    call(sys.executable, "-m", "pip", "install", *quiet, *words, *pins, "--target", target, *wanted)
    return sorted(found.name.removesuffix(".dist-info") for found in target.glob("*.dist-info"))


def write_machine(root: Path) -> None:
    """What tells programs which processor they run on, and `python`, which runs one."""
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text("".join(CPUINFO.format(number=number) for number in range(4)))
    python = root / "python"
    # -0: what Python takes for its own path, so that processes which it starts are emulated as well
    python.write_text(f"""#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
export QEMU_CPU="${{QEMU_CPU:-{CPU}}}"
exec {qemu()} -L "$root" -0 "$root/python" -E PYTHONHOME="$root/usr" "$root/usr/bin/python{PYTHON}" "$@"
""")
    python.chmod(0o755)


def call(*words: object, env: dict[str, str] | None = None) -> None:
    """Runs a command; its output is shown only when it fails. Raises CalledProcessError then."""
    done = subprocess.run(list(map(str, words)), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        done.check_returncode()
