# Names that climb out of the layer.
echo broken >file
tar -cPf layer.tar --transform 's,^file$,../../../../../../../..'"$CANARY"',' file
