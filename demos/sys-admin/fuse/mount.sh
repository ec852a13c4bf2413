# A FUSE file system over the folder of this demo; rclone, s3fs and sshfs do the same.
mkdir -p /tmp/upper /tmp/work
fuse-overlayfs -o lowerdir=/demo,upperdir=/tmp/upper,workdir=/tmp/work "$1" 2>/tmp/said ||
  { grep fusermount /tmp/said; exit 1; }
findmnt -no FSTYPE "$1"
