"""The network: attention statistics, blocks, embedders, heads, and the model that joins them."""
