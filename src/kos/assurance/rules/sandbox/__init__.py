"""Whether each app is as confined as the platform promises."""
