from __future__ import annotations

from pathlib import Path

import pytest

from equime.demo import packaged_face
from equime.publishing.releasing.licences import conditions, names_people, permits
from equime.screening import celeba
from equime.screening.portraits import read_portraits

YES = """
CC0
cc0
CC0 1.0
CC0-1.0
CC0 1.0 Universal
CC0 1.0 Universal (CC0 1.0) Public Domain Dedication
CC-0
CC Zero
Creative Commons Zero v1.0 Universal
https://creativecommons.org/publicdomain/zero/1.0/
https://creativecommons.org/publicdomain/mark/1.0/deed.en
public domain
Public Domain
public domain (NASA)
public-domain
Public Domain Mark 1.0
in the public domain
CC BY 4.0
CC BY
cc-by-4.0
CC_BY_3.0
CC BY 2.0 (photo: Jane Smith)
Creative Commons Attribution 4.0 International
Attribution 3.0 Unported
Attribution-ShareAlike 2.0 Generic
https://creativecommons.org/licenses/by/2.0/
http://www.creativecommons.org/licenses/by-sa/4.0/deed.de
CC BY-SA 4.0
cc-by-sa-3.0
Licensed under CC BY-SA 3.0 de
CC BY-NC 4.0
cc-by-nc-4.0
CC BY-NC-SA 4.0
cc-by-nc-sa-4.0
Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International (CC BY-NC-SA 4.0)
Creative Commons BY-NC-SA 4.0 license by NVIDIA Corporation
creativecommons.org/licenses/by-nc/4.0
""".strip().splitlines()

NO = """
CC BY-ND 4.0
cc-by-nd-2.0
CC BY-NC-ND 4.0
cc by nc nd
Creative Commons Attribution-NoDerivatives 4.0 International
Creative Commons Attribution-NonCommercial-NoDerivs 3.0
https://creativecommons.org/licenses/by-nd/4.0/
https://creativecommons.org/licenses/by-nc-nd/4.0/
CelebA
CelebA-HQ
CelebA agreement: non-commercial research only, no redistribution of the pictures
non-commercial research only
CC BY-NC 4.0 for the code, CelebA agreement for the pictures
CC BY 4.0, no derivatives
CC BY 4.0 (no redistribution)
CC BY-NC-SA 4.0, research purposes only
not in the public domain
not CC0
public domain?  unknown
probably public domain
public domain in the US only
no known copyright restrictions
all rights reserved
(c) 2019 Jane Smith
unknown
none
n/a
proprietary
MIT
GFDL
Unsplash licence
free for personal use
fair use
CC
creative commons
by
sa
BY-NC
nc
CC BYE
ccby0
accc by
publicdomainish
""".strip().splitlines()


@pytest.mark.parametrize("text", YES)
def test_licences_that_let_likenesses_be_passed_on(text: str) -> None:
    assert permits(text)
    assert permits(f"  {text.upper()} ") and permits(text.replace(" ", "\n"))


@pytest.mark.parametrize("text", [*NO, "", " ", "\n", "?", "😀", "CC BY-N\u200bD", "CC BY\u2212ND", "CC BY-N.D.", None])
def test_all_others_do_not(text: str | None) -> None:
    assert not permits(text)
    assert text is None or not permits(text.upper())


def test_the_licences_that_this_package_records_itself(tmp_path: Path) -> None:
    portraits, _ = read_portraits(packaged_face(tmp_path))
    assert [permits(portrait.licence) for portrait in portraits] == [True]
    assert not permits(celeba.LICENCE) and names_people(celeba.LICENCE)
    assert [names_people(text) for text in ("CelebA-HQ agreement", "CELEB-A", "celeba_hq", "CC0", None)] == [
        *(True, True, True),
        *(False, False),
    ]


@pytest.mark.parametrize(
    ("text", "count"), [("CC0", 0), ("public domain", 0), ("CC BY 4.0", 1), ("cc-by-sa-3.0", 2), ("cc-by-nc-sa-4.0", 2)]
)
def test_what_a_licence_asks_in_return(text: str, count: int) -> None:
    assert len(list(conditions(text))) == count
