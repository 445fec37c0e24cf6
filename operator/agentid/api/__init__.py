"""The objects people write and read: models, names and reasons, and the CRDs generated from them."""
