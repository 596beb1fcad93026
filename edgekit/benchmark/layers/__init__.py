"""What each layer costs, on paper and as the runtime counts it."""
