"""System-call filters: `policy` is what is allowed, `compiler` makes programs, `notify` hears of the rest."""
