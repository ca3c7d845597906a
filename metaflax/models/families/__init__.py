"""Model families, a folder each: config, network, weight names."""
