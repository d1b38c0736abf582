"""Labels of events, weights of labels that overlap, splits that keep the future out."""
