"""Which country a cloud's region is in, as the clouds' own documentation names them (read 2026-11)."""

_REGIONS = {
    "AE": "me-central-1 uaecentral uaenorth me-abudhabi-1 me-dubai-1",
    "AU": "ap-southeast-2 ap-southeast-4 australia-southeast1 australia-southeast2 australiacentral "
    "australiacentral2 australiaeast australiasoutheast ap-melbourne-1 ap-sydney-1",
    "AT": "austriaeast",
    "BE": "europe-west1 belgiumcentral",
    "BH": "me-south-1",
    "BR": "sa-east-1 southamerica-east1 brazilne brazilse brazilsouth sa-saopaulo-1 sa-vinhedo-1",
    "CA": "ca-central-1 ca-west-1 northamerica-northeast1 northamerica-northeast2 canadacentral canadaeast "
    "ca-montreal-1 ca-toronto-1",
    "CH": "eu-central-2 europe-west6 switzerlandn switzerlandw eu-zurich-1",
    "CL": "southamerica-west1 chilec sa-santiago-1 sa-valparaiso-1",
    "CN": "cn-north-1 cn-northwest-1",
    "CO": "sa-bogota-1",
    "DE": "eu-central-1 eusc-de-east-1 europe-west3 europe-west10 germanyn germanywc eu-frankfurt-1",
    "DK": "denmarkeast",
    "ES": "eu-south-2 europe-southwest1 spaincentral eu-madrid-1",
    "FI": "europe-north1",
    "FR": "eu-west-3 europe-west9 centralfrance southfrance eu-marseille-1 eu-paris-1",
    "GB": "eu-west-2 europe-west2 uksouth ukwest uk-cardiff-1 uk-london-1",
    "HK": "ap-east-1 asia-east2 eastasia",
    "ID": "ap-southeast-3 asia-southeast2 indonesiacentral ap-batam-1",
    "IE": "eu-west-1 northeurope",
    "IL": "il-central-1 me-west1 israelcentral israelnorthwest il-jerusalem-1",
    "IN": "ap-south-1 ap-south-2 asia-south1 asia-south2 centralindia southindia westindia jioindiacentral "
    "jioindiawest ap-hyderabad-1 ap-mumbai-1",
    "IT": "eu-south-1 europe-west8 europe-west12 italynorth eu-milan-1",
    "JP": "ap-northeast-1 ap-northeast-3 asia-northeast1 asia-northeast2 japaneast japanwest ap-osaka-1 "
    "ap-tokyo-1",
    "KR": "ap-northeast-2 asia-northeast3 koreacentral koreasouth ap-chuncheon-1 ap-seoul-1",
    "MX": "mx-central-1 northamerica-south1 mexicocentral mx-monterrey-1 mx-queretaro-1",
    "MY": "ap-southeast-5 malaysiasouth malaysiawest",
    "NL": "europe-west4 westeurope eu-amsterdam-1",
    "NO": "norwaye norwayw",
    "NZ": "ap-southeast-6 newzealandnorth",
    "PL": "europe-central2 polandcentral",
    "QA": "me-central1 qatarcentral",
    "RS": "eu-jovanovac-1",
    "SA": "me-central2 me-jeddah-1 me-riyadh-1",
    "SE": "eu-north-1 europe-north2 swedencentral swedensouth eu-stockholm-1",
    "SG": "ap-southeast-1 asia-southeast1 southeastasia ap-singapore-1 ap-singapore-2",
    "TH": "ap-southeast-7",
    "TW": "ap-east-2 asia-east1 taiwannorth taiwannorthwest",
    "US": "us-east-1 us-east-2 us-gov-east-1 us-gov-west-1 us-west-1 us-west-2 us-central1 us-central2 "
    "us-east1 us-east4 us-east5 us-east7 us-south1 us-west1 us-west2 us-west3 us-west4 us-west8 centralus "
    "centraluseuap eastus eastus2 eastus2euap eastus3 northcentralus southcentralus southcentralus2 "
    "southeastus southeastus3 westcentralus westus westus2 westus3 us-abilene-1 us-ashburn-1 us-boardman-1 "
    "us-chicago-1 us-dallas-1 us-phoenix-1 us-saltlake-2 us-sanjose-1",
    "ZA": "af-south-1 africa-south1 southafricanorth southafricawest af-johannesburg-1",
}

COUNTRY_BY_REGION = {region: country for country, regions in _REGIONS.items() for region in regions.split()}
