"""Patches DVC to hash a data source with unreadable files, in any process that imports DVC.

``hallmark_dvc.pth`` imports this module whenever Python starts, so it does almost nothing until ``dvc.dependency`` is
imported; then it calls :func:`hallmark.versioning.dependencies.teach`.
"""

import sys


class _Finder:
    """Imports ``dvc.dependency`` as usual, then patches DVC."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "dvc.dependency":
            return None
        import importlib.util

        sys.meta_path.remove(cls)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                from hallmark.versioning.dependencies import teach

                teach()

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Finder)
