"""The HTTP server of the embedded market: routes, pages, flat files, faults on request."""
