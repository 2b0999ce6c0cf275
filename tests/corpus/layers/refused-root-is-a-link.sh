# The root of the layer as a symbolic link.
ln -s / root
tar -cPf layer.tar --transform 's,^root$,./,S' root
