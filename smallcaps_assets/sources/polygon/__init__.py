"""Polygon (now Massive): its REST API, its flat files, and the choice between them."""
