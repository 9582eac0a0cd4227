"""What reads or writes Envoy's files: the doctor, the cluster printer."""
