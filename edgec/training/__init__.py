"""The training room: the only one that imports torch and Brevitas (extra `qat`).

ONNX stays the source of truth. A model is imported as a network of ordinary torch layers, trained, and its weights are
written back into the ONNX graph, whose names, operators and metadata stay.

    network = import_network(model)                            # importer.py: TrainableNetwork(model, module, weights)
    samples = read_samples(data, model, options)               # samples.py: TrainingSamples; data errors end here
    network = insert_batch_norms(network, samples)             # batch_norm.py: identity at first, for models without
    outcome = fit(network.module, samples, options, run)       # fit.py: FitOptions of options.py, TrainingRun(seed, …)
    network = fold_batch_norms(network)                        # batch_norm.py
    write_back(network)                                        # write_back.py: changes `model` in place

`fine_tune.py` does all of this in one call: `fine_tune(model, data, options, seed=…, progress=…)`.

This module, `options` and `availability` can be imported without the extra.
"""
