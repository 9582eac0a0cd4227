"""``listen``: where Envoy asks, and who may ask there."""
