"""Updates from a TUF repository with python-tuf as released, and downloads every target.

Arguments: the repository's URL, the root that is trusted, a folder for metadata and targets.
"""

import os
import sys

from tuf.ngclient import Updater

url, root, folder = sys.argv[1:]
targets = os.path.join(folder, "targets")
os.makedirs(targets)
with open(root, "rb") as file:
    trusted = file.read()
updater = Updater(
    metadata_dir=folder,
    metadata_base_url=url + "/",
    target_base_url=url + "/targets/",
    target_dir=targets,
    bootstrap=trusted,
)
updater.refresh()
names = sorted(updater._trusted_set.targets.targets)
for name in names:
    updater.download_target(updater.get_targetinfo(name))
print("\n".join(names))
