# The prefix alone names nothing.
touch .wh.
tar -cf layer.tar .wh.
