"""Report: what a run did, what a folder of shards holds, and where a record came from."""
