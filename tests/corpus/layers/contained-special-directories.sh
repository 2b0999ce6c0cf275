# /dev, /proc, /sys, /etc/resolv.conf and /etc/passwd as links to places of the host.
for name in dev proc sys; do ln -s /tmp "$name"; done
mkdir etc
ln -s "$CANARY" etc/resolv.conf
ln -s "$CANARY" etc/hosts
ln -s "$CANARY" etc/hostname
ln -s "$CANARY" etc/passwd
ln -s "$CANARY" etc/group
tar -cf layer.tar dev proc sys etc
