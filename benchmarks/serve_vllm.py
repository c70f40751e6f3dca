"""vLLM's own server on a CPU, for tests and measurements."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FLAGS = {
    "--max-model-len": "2048",
    "--max-num-seqs": "64",
    "--gpu-memory-utilization": "0.12",  # without a GPU, of the machine's memory
    # Or small models fill an answer with white space until it is cut off.
    "--structured-outputs-config": '{"backend": "guidance", "disable_any_whitespace": true}',
    "--hf-overrides": '{"head_dtype": "float32"}',
    # A prompt that is computed in parts, with a seed, ends the engine where there is no GPU.
    "--max-num-batched-tokens": "4096",
}
_START_SECONDS, _END_SECONDS = 280.0, 60.0


@contextmanager
def vllm_server(python: str, folder: Path, dtype: str = "bfloat16") -> Iterator[str]:
    """Serve a checkpoint by the name `served`; give the URL.

    :param python: the Python of an environment with vLLM.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "served", "--host", "127.0.0.1", "--port", port]
    command += ["--dtype", dtype, "--enforce-eager", "--no-enable-chunked-prefill"]
    command += ["--disable-uvicorn-access-log"]
    command += [part for flag in _FLAGS.items() for part in flag]
    told = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=os.environ | told)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"vLLM's server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
    raise RuntimeError(f"vLLM's server did not start within {_START_SECONDS:.0f} s")
