"""The training room: the only one that imports torch and Brevitas (extra `qat`).

ONNX stays the source of truth. A model is imported as a network of ordinary torch layers, trained, and its weights are
written back into the ONNX graph, whose names, operators and metadata stay.

    network = import_network(model)                            # importer.py: TrainableNetwork(model, module, weights)
    samples = read_samples(data, model, options)               # samples.py: TrainingSamples; data errors end here
    insert_batch_norms(network, samples)                       # batch_norm.py: an identity at first; how many
    outcome = fit(network.module, samples, options, run)       # fit.py: FitOptions of options.py, TrainingRun(seed, …)
    network = fold_batch_norms(network)                        # batch_norm.py
    write_back(network)                                        # write_back.py: changes `model` in place

`fine_tune.py` does all of this in one call: `fine_tune(model, data, options, seed=…, progress=…, teacher=…)`.
`train_quantized.py` does it with rounding, from a plan of quantization to a quantized model:
`insert_quantizers(network, plan, …)` and `take_plan(quantized)` of `quantized_network.py` stand around `fit`.

This module, `options` and `availability` can be imported without the extra.
"""
