"""The video surface through the whole running system: gateway process, worker process, official client."""
