"""Another model for a camera under way: signed, checked on the device, on trial, and given back where it fails."""
