# A whiteout of the parent directory.
mkdir d
touch d/.wh...
tar -cf layer.tar d
