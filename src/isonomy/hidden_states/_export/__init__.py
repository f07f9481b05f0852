"""What `export_adapters` is made of: factors, folders, cards."""
