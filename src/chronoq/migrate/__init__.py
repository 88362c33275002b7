"""Moving in: what another scheduler has planned becomes schedules and jobs here."""
