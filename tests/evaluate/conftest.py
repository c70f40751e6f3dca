import pytest


@pytest.fixture(scope="session")
def static_model(tmp_path_factory):
    """A static model saved by sentence-transformers: each word of the list has its own vector."""
    torch = pytest.importorskip("torch")
    modules = pytest.importorskip("sentence_transformers.models")
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = "[UNK] read write open close file socket list sort the a of delete copy tree graph"
    tokenizer = Tokenizer(WordLevel({w: n for n, w in enumerate(words.split())}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = torch.eye(len(words.split()))
    static = modules.StaticEmbedding(tokenizer, embedding_weights=weights.numpy())
    folder = tmp_path_factory.mktemp("model")
    SentenceTransformer(modules=[static], device="cpu").save(str(folder))
    return folder
