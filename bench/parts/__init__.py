"""One module for each thing that is measured: `measure(setting)` gives a `Report`."""
