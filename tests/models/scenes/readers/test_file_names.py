from datetime import datetime, timedelta

import pytest
from raw_files import reader_configuration

from medicane_models.errors import ConfigurationError, SceneError
from medicane_models.scenes.readers.file_names import FORMS, check_reader, readers_of, told_by_name

FCI = "W_XX-EUMETSAT-Darmstadt,IMG+SAT,MTI1+FCI-1C-RRAD"
NAMES = {
    "H-000-MSG4__-MSG4________-IR_097___-000007___-202009060030-__": "seviri_l1b_hrit",
    "H-000-MSG2__-MSG2_RSS____-_________-EPI______-202009060030-__": "seviri_l1b_hrit",
    "MSG4-SEVI-MSG15-0100-NA-20200906004243.254000000Z-NA.nat": "seviri_l1b_native",
    "W_XX-EUMETSAT-Darmstadt,VIS+IR+HRV+IMAGERY,MSG4+SEVIRI_C_EUMG_20200906003000.nc": (
        "seviri_l1b_nc"
    ),
    f"{FCI}-FDHSI-FD--CHK-BODY---NC4E_C_EUMT_20240114000517_IDPFI_OPE_20240114000007"
    "_20240114000015_N__T_0001_0001.nc": "fci_l1c_nc",
    f"{FCI}-3KM-AF-IR105-x-x---NC4E_C_EUMT_20240125144655_DT_OPE_20240109080007"
    "_20240109080924_N_JLS_T_0049_0000.nc": "fci_l1c_nc",
    "HS_H08_20200101_0010_B13_FLDK_R20_S0110.DAT": "ahi_hsd",
    "HS_H09_20230101_0010_B13_R301_R20_S0101.DAT.bz2": "ahi_hsd",
    "IMG_DK01B12_202001010000_001": "ahi_hrit",
    "HRIT_MTSAT1_20090101_0030_DK01IR1": "jami_hrit",
    "HRIT_MTSAT2_20110101_0030_DK01IR1.gz": "mtsat2-imager_hrit",
    "201501010000.tir.01.fld.geoss": "ahi_l1b_gridded_bin",
    "gk2a_ami_le1b_ir105_fd020ge_201901310740.nc": "ami_l1b",
    "FY4A-_AGRI--_N_REGC_1047E_L1-_FDI-_MULT_NOM_20201230101500_20201230101959_4000M_V0001.HDF": (
        "agri_fy4a_l1"
    ),
    "FY4B-_AGRI--_N_DISK_1330E_L1-_FDI-_MULT_NOM_20220117000000_20220117001459_4000M_V0001.HDF": (
        "agri_fy4b_l1"
    ),
    "3DIMG_05APR2020_0330_L1B_STD_V01R00.h5": "insat3d_img_l1b_h5",
    "L-000-MSG3__-GOES15______-10_7_135W-000001___-201601091200-C_": "goes-imager_hrit",
    "goes13.2010.338.001514.BAND_04.nc": "goes-imager_nc",
    "FIDUCEO_FCDR_L15_MVIRI_MET7-57.0_201701201000_201701201030_FULL_v2.6_fv3.1.nc": (
        "mviri_l1b_fiduceo_nc"
    ),
    "MVIRI_FCDR-EASY_L15_MET7-E0000_200607060600_200607060630_0200.nc": "mviri_l1b_fiduceo_nc",
}
ABI = {
    "OR_ABI-L1b-RadF-M6C13_G16_s20202512000203_e20202512009523_c20202512010001.nc": "abi_l1b",
    "OR_ABI-L2-CMIPC-M6C13_G16_s20202512001178_e20202512003563_c20202512004052.nc": "abi_l2_nc",
    "OR_ABI-L2-MCMIPM1-M6_G17_s20202512001251_e20202512001320_c20202512001406.nc": "abi_l2_nc",
}  # read without satpy unless that is asked for


@pytest.mark.parametrize(("name", "reader"), NAMES.items())
def test_a_name_tells_its_reader(name, reader):
    assert readers_of(name) == [reader]


@pytest.mark.parametrize(("name", "reader"), (NAMES | ABI).items())
def test_satpy_takes_the_name_for_the_same_reader(name, reader):
    pytest.importorskip("satpy")
    from trollsift import Parser

    kinds = reader_configuration(reader)["file_types"].values()
    patterns = [pattern for kind in kinds for pattern in kind["file_patterns"]]
    assert any(Parser(pattern).validate(name) for pattern in patterns)
    assert told_by_name(name, reader) is not None


@pytest.mark.parametrize("name", ["scene.nc", "airmass_rgb_20111102_0655.png", "notes.txt", *ABI])
def test_other_names_are_of_no_reader(name):
    assert readers_of(name) == []


def test_names_that_jma_gave_to_three_satellites_stay_open():
    assert readers_of("IMG_DK01IR1_201001010000_001") == [
        "ahi_hrit", "jami_hrit", "mtsat2-imager_hrit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cycle", "first", "start"),
    [
        (1, datetime(2024, 1, 14, 0, 0, 7), datetime(2024, 1, 14)),
        (1, datetime(2024, 1, 13, 23, 59, 58), datetime(2024, 1, 14)),
        (73, datetime(2024, 1, 14, 12, 9, 30), datetime(2024, 1, 14, 12)),
        (144, datetime(2024, 1, 15, 0, 0, 1), datetime(2024, 1, 14, 23, 50)),
    ],
)
def test_a_chunk_of_fci_belongs_to_its_cycle_of_the_day(cycle, first, start):
    last = first + timedelta(seconds=14)
    name = (
        f"{FCI}-FDHSI-FD--CHK-BODY---NC4E_C_EUMT_20240114000517_IDPFI_OPE"
        f"_{first:%Y%m%d%H%M%S}_{last:%Y%m%d%H%M%S}_N__T_{cycle:04d}_0040.nc"
    )
    told = told_by_name(name, "fci_l1c_nc")
    assert told is not None
    assert (told.time, told.scan) == (start, (first, last))


def test_a_name_with_an_impossible_time_is_refused():
    with pytest.raises(SceneError, match="holds the time 20201301_0000, which is none"):
        told_by_name("HS_H08_20201301_0000_B13_FLDK_R20_S0110.DAT", "ahi_hsd")


@pytest.mark.parametrize("reader", [*FORMS, "electrol_hrit", "msu_gsa_l1b", None])
def test_readers_of_satpy_are_known(reader):
    pytest.importorskip("satpy")
    check_reader(reader)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("ahi_hds", "ahi_hsd"), ("seviri_hrit", "seviri_l1b_hrit"), ("x", "abi_l1b")],
)
def test_an_unknown_reader_is_refused_with_those_spelled_most_alike(wrong, near):
    pytest.importorskip("satpy")
    with pytest.raises(ConfigurationError, match=f"{wrong} is none of satpy's; .* {near}"):
        check_reader(wrong)
