"""Language models behind a server that takes files of requests and answers them within a day."""

from curate.llm.batch.ledger import Batch, Ledger
from curate.llm.batch.model import BatchModel, WaitingError, cannot

__all__ = ["Batch", "BatchModel", "Ledger", "WaitingError", "cannot"]
