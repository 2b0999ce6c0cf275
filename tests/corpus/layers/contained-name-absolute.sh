# A name that starts at the root: inside the cell that is the cell's own root.
echo broken >file
tar -cPf layer.tar --transform "s,^file\$,$CANARY," file
