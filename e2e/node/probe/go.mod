module e2e.local/probe

go 1.26.0
