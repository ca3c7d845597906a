"""What a run is made of: model, data, episodes, evaluator, directory."""
