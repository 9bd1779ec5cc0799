"""The noise of the harness itself: one checkpoint evaluated again, with other batches and by the other engine."""
